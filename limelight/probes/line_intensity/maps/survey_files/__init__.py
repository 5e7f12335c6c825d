"""Files of surveys, each format read into maps.survey.SurveyMap."""
